"""Which connections are open, from the kernel's table."""

from portside.balancer.namespace import counted

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0501000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 0501000A:9C40 0A01000A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0 20 4 30 10 -1
   2: 0501000A:9C41 0A01000A:1F90 08 00000000:00000000 00:00000000 00000000     0        0 102 1 0 20 4 30 10 -1
   3: 0501000A:9C42 0A01000A:1F90 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   4: 0501000A:9C43 0A01000A:1F90 05 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   5: 0501000A:9C44 0B01000A:1F90 02 00000000:00000000 01:00000000 00000000     0        0 103 1 0
"""


def test_open_ones() -> None:
    """Those that a process holds and that are open in one direction at least; not those that listen, or begin."""
    assert counted(TABLE) == {("10.0.1.10", 8080): 2}
    assert counted("") == {}
