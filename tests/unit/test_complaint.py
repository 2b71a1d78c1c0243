"""What fails again and again is not said each time."""

from itertools import pairwise

from portside.domain.complaint import PAUSE_MOST_S, Complaint


def test_the_same_again() -> None:
    """Tried each two seconds for a day: at once, after a minute, and then ever more rarely, but each hour at least."""
    complaint = Complaint()
    said = [at for at in range(0, 86400, 2) if complaint.is_due("no such program", at)]
    pauses = [after - before for before, after in pairwise(said)]
    assert said[0] == 0
    assert pauses[:3] == [60, 120, 240]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MOST_S


def test_another_reason() -> None:
    """It is said at once, and so is the same after it went well."""
    complaint = Complaint()
    assert complaint.is_due("a", 0)
    assert complaint.is_due("b", 2)
    assert not complaint.is_due("b", 4)
    complaint.end()
    assert complaint.is_due("b", 6)
    assert not complaint.is_due("b", 8)
