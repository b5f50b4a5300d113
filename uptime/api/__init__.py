"""The REST API's floor: who asks, what may be asked, and the one shape of every answer.

The endpoints themselves live in each app's `api.py`; `urls.py` here gives them their addresses.
"""
