"""The chapter on the deep frame potential: the grid of minima, its checks, its drawing."""
