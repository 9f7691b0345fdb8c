"""Who may do what: users, roles, permissions and tokens. PURE."""
