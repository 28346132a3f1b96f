"""One file per data set: how to read its original layout."""
