"""`python -m napari_nh2st` is `nh2st`."""

from napari_nh2st.cli import program

if __name__ == "__main__":
    program()
