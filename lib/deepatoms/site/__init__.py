"""The book's Sphinx extensions: the theme's mends, the scoreboard, the links between text and code."""
