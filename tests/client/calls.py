"""Every kind of unary call that the client makes, and the method of the wire behind it."""

UNARY = {
    "list services": ("Gateway.ListServices", lambda c: c.list_services_async()),
    "list methods": ("Gateway.ListMethods", lambda c: c.list_methods_async("workmanager")),
    "method schema": (
        "Gateway.GetMethodSchema",
        lambda c: c.gateway.get_method_schema_async("workmanager", "ListWorkers"),
    ),
    "invoke": ("Gateway.InvokeJson", lambda c: c.invoke_async("workmanager", "ListWorkers", {})),
    "dynamic invoke": ("Gateway.InvokeJson", lambda c: c.gateway.workmanager.ListWorkers()),
    "raw invoke": (
        "Gateway.Invoke",
        lambda c: c.gateway.invoke_raw_async("workmanager", "ListWorkers", b""),
    ),
    "save state": ("State.SaveState", lambda c: c.save_state_async("workmanager", "k", "v")),
    "get state": ("State.GetState", lambda c: c.get_state_async("workmanager", "k")),
    "delete state": ("State.DeleteState", lambda c: c.state.delete("workmanager", "k")),
    "query state": ("State.QueryState", lambda c: c.state.query("workmanager")),
    "bulk get": ("State.GetBulkState", lambda c: c.state.get_bulk("workmanager", ["k"])),
    "bulk delete": ("State.DeleteBulkState", lambda c: c.state.delete_bulk("workmanager", ["k"])),
    "register keys": (
        "State.RegisterKeys",
        lambda c: c.register_keys_async("workmanager", ["k"]),
    ),
    "all state": ("State.GetAllState", lambda c: c.get_all_state_async("workmanager")),
    "publish": ("Pubsub.PublishEvent", lambda c: c.pubsub.publish_async("t", "d")),
    "unsubscribe": ("Pubsub.Unsubscribe", lambda c: c.pubsub.unsubscribe_async("id")),
    "config list": ("Config.ListServices", lambda c: c.config.list_services()),
    "config get": ("Config.GetService", lambda c: c.config.get_service("workmanager")),
}
