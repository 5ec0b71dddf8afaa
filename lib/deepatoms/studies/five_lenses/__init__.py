"""The study of five lenses: what the five theories say about one network, and whether they agree."""
