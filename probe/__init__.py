"""Everything that touches the network to observe a target. No Django inside.

job = Job(...)                       what to check, by when
observation = await observe(job)     what was seen; target trouble never raises
"""
