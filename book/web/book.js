// Deep Atoms
