"""The nightly loop: from new data to a better champion, step by step, so that it may stop anywhere and go on."""
