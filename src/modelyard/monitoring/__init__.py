"""Monitoring: windows of what was served, held against what a version was trained on and approved at; and the alerts that follow."""
