"""The chapter on atoms: sparse recovery, its checks, its drawing."""
