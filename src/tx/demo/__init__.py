"""The example corpus: English and German sentence pairs from a small grammar."""
