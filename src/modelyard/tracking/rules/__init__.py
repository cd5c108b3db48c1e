"""What tracking decides without looking anything up: names and limits, paths, points, the latest value."""
