"""The press: stores chapters in normal form, runs them again, builds the site. No chapter imports it."""
