"""Contract suites: subclass one in a test and your part is held to its promises."""
