"""Errors keep their cause, cure and case, also through a worker process."""

import pickle

from autoseg.core.errors import AutosegError, DatasetError, Interrupted


def test_message_joins_problem_and_cure():
    assert str(AutosegError("the file is empty", "write it again")) == "the file is empty: write it again"
    assert str(AutosegError("the file is empty")) == "the file is empty"


def test_dataset_error_survives_pickling_with_its_case():
    error = pickle.loads(pickle.dumps(DatasetError("bad", "mend", case_id="liver_1")))  # noqa: S301 - our own bytes
    assert (str(error), error.case_id) == ("bad: mend", "liver_1")


def test_interruption_tells_how_to_go_on():
    assert str(Interrupted(15, "stopped after update 3")).endswith("run the same command again to go on")
