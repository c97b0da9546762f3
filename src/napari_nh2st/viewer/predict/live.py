"""The live view: "the view rests here" becomes a request. No Qt."""

from __future__ import annotations

from collections.abc import Callable

from napari_nh2st.errors import Nh2stError, SlideAway
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.events import Request, State, Status


class Live:
    """Follows the view: each time it rests, what is missing there is asked for.

    Parameters
    ----------
    controller : Controller
    look : callable
        Returns the request for what the window shows now, None where the view is not to be followed, and raises
        Nh2stError where the window shows nothing that could be predicted.
    say : callable
        Takes a sentence that tells why nothing happens.
    """

    def __init__(self, controller: Controller, look: Callable[[], Request | None], say: Callable[[str], None]) -> None:
        self.on = False
        self._controller, self._look, self._say = controller, look, say
        self._asked: tuple[object, ...] | None = None
        self._said = ""

    def start(self) -> None:
        """Follow the view from now on, beginning with what it shows."""
        self.on = True
        self._asked, self._said = None, ""
        self.rested()

    def stop(self) -> None:
        """Follow no more; what is there stays."""
        if self.on:
            self.on = False
            self._controller.cancel()

    def rested(self) -> None:
        """Take note that the view rests, or that what is to be predicted there has changed."""
        if not self.on or (self._controller.running and not self._controller.following):
            return
        try:
            request = self._look()
        except Nh2stError as error:
            self._pause(str(error))
            return
        if request is None:
            self._pause("")
            return
        asked = (request.slide, request.model, request.pitch, request.device, request.region.box)
        if asked == self._asked and request.tissue is None:
            return  # the window was hidden and shown again, say
        self._asked, self._said = asked, ""
        self._controller.predict(request)

    def heard(self, status: Status) -> None:
        """Stop to follow where a job was cancelled or failed: a person decides how it goes on.

        A slide that is out of reach may come back: then the next view is followed again.
        """
        if status.state is State.FAILED and isinstance(status.error, SlideAway):
            self._asked = None
        elif self.on and status.state in (State.CANCELLED, State.FAILED):
            self.on = False

    def _pause(self, why: str) -> None:
        self._asked = None
        self._controller.rest()
        if why and why != self._said:
            self._say(why)
        self._said = why
