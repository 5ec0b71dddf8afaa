"""One room for each chapter: its experiments, its checks, its drawing. No study imports another."""
