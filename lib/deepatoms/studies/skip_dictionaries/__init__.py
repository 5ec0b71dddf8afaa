"""The chapter on skip connections: the compared nets, K-SVD, counterexamples, its checks, its drawing."""
