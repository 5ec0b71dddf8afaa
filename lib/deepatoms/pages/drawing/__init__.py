"""What the chapters draw, one module a chapter."""
