"""The APIs of ComfyUI and A1111, for programs that speak them; `safelight serve --compat` turns them on.

Each request becomes a graph (see `nodes/interchange`) and a run in the same queue as all others. Its `Host`,
token, body and rate are checked like those of any other request. Clients send the token as the password of
HTTP Basic, with any user name.
"""
