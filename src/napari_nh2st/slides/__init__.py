"""Slides: opening, reading at any scale, pixel size with its provenance, tissue. No torch, no Qt."""

from napari_nh2st.slides.formats import FORMATS
from napari_nh2st.slides.picture import Picture
from napari_nh2st.slides.slide import Slide, SlideHeader, open_slide, read_header
from napari_nh2st.slides.tissue import TissueMask

__all__ = ["FORMATS", "Picture", "Slide", "SlideHeader", "TissueMask", "open_slide", "read_header"]
