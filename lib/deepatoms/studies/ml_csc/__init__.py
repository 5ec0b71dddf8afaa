"""The chapter on multi-layer convolutional sparse coding: its checks, its drawing."""
