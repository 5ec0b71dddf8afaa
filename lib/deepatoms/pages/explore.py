"""The book's control: frames computed beforehand, moved by native sliders with and without a kernel."""
