"""The networks themselves, in torch; what is known of them without torch stands beside this folder."""
