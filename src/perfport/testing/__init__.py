"""Fakes and conformance kits, shipped so that plug-ins can be tested as the built-in parts are."""
