"""What the window and the engine speak of: recipes, layers, ranges, results and messages. No torch, no Qt."""
