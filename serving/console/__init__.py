"""The marketers' console: pages that render stored readouts and compute nothing but where to draw them."""
