"""Makes the pages of the site that are not written by hand; nothing here needs the site generator itself."""
