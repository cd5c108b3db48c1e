"""Where a view's rows come from: a reader for each kind of source. Owns reading as it stands; gives no row a meaning."""
