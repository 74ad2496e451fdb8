"""The `perfport` command."""
