"""What happens when a device fails: another one takes over, and NaN is traced to the segment that makes it."""
