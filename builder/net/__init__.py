"""HTTP: one request at a time over pooled connections, with deadlines, proxies, private authorities and retries.

It knows hosts, bytes and time. What a registry or a download means by them is for the rooms above.
"""
