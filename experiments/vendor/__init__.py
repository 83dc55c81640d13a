"""What vendors' engines, brought by plugins, take and refuse, and 8-bit versions of networks for them."""
