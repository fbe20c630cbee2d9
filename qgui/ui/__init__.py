"""The window: document and undo, item models, panels, dialogs, theme. Qt, no torch."""
