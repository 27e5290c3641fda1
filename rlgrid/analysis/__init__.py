"""What happens under a policy, and how the best one depends on the numbers of a world.

Imports planning and what that imports.
"""
