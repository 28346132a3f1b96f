"""Submission formats by name, one file each: `Options` and `build(options) -> SubmissionFormat`."""
