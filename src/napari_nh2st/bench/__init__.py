"""`nh2st bench`: the figures of docs/performance.md, measured side by side in one run."""
