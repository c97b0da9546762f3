import pytest

from napari_nh2st.engine import memory
from napari_nh2st.errors import Nh2stError


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 300 * 10**6)
    memory.ask_for(200 * 10**6, "this", "do less")
    with pytest.raises(
        Nh2stError, match="this takes about 364 MB, and 300 MB are free; close other programs, or do less"
    ):
        memory.ask_for(300 * 10**6, "this", "do less")
    monkeypatch.setattr(memory, "free_memory", lambda: None)  # a system that does not say
    memory.ask_for(10**15, "this", "do less")


def test_the_least_of_machine_container_and_process_is_free(monkeypatch):
    for name, free in (("_of_machine", 5), ("_of_container", None), ("_of_process", 3)):
        monkeypatch.setattr(memory, name, lambda free=free: free)
    assert memory.free_memory() == 3
    monkeypatch.undo()
    free = memory.free_memory()
    assert free is None or free > 10**6
