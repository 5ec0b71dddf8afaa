"""The chapter on templates: inner products, its checks, its drawing."""
