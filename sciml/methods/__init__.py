"""One adaptor per method, so that any of them runs on any problem and is measured in the same way."""
