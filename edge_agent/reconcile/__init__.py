"""From what runs to what should: steps (data), plan and retry (pure), apply (all side effects)."""
