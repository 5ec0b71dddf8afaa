"""The chapter on ResNEsts: nets of tanh blocks, the landscape, digits, its checks, its drawing."""
