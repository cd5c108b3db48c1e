"""The statistics of monitoring: pure functions of values. They read no clock, no table and no file."""
