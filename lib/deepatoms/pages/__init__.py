"""What chapters show: figures, explorers, claims; and the press that stores, checks and builds them."""
