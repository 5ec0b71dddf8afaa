"""The chapter on partitions: certificates, neighbourhoods, moons, penalties, its checks, its drawing."""
