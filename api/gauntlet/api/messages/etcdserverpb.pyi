# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
import builtins
import collections.abc
import typing

import google.protobuf.descriptor
import google.protobuf.message
import google.protobuf.internal.containers
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from gauntlet.api.messages import authpb
from gauntlet.api.messages import membershippb
from gauntlet.api.messages import mvccpb

AlarmType: EnumTypeWrapper
NONE: typing.Final = 0
NOSPACE: typing.Final = 1
CORRUPT: typing.Final = 2

@typing.final
class Metadata(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NODEID_FIELD_NUMBER: typing.Final = 1
    CLUSTERID_FIELD_NUMBER: typing.Final = 2
    NodeID: builtins.int
    ClusterID: builtins.int
    def __init__(
        self,
        *,
        NodeID: builtins.int = ...,
        ClusterID: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["NodeID", "ClusterID"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["NodeID", "ClusterID"]) -> None: ...

@typing.final
class ResponseHeader(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CLUSTER_ID_FIELD_NUMBER: typing.Final = 1
    MEMBER_ID_FIELD_NUMBER: typing.Final = 2
    REVISION_FIELD_NUMBER: typing.Final = 3
    RAFT_TERM_FIELD_NUMBER: typing.Final = 4
    cluster_id: builtins.int
    member_id: builtins.int
    revision: builtins.int
    raft_term: builtins.int
    def __init__(
        self,
        *,
        cluster_id: builtins.int = ...,
        member_id: builtins.int = ...,
        revision: builtins.int = ...,
        raft_term: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["cluster_id", "member_id", "revision", "raft_term"]) -> None: ...

@typing.final
class RangeRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    SortOrder: EnumTypeWrapper
    NONE: typing.Final = 0
    ASCEND: typing.Final = 1
    DESCEND: typing.Final = 2
    SortTarget: EnumTypeWrapper
    KEY: typing.Final = 0
    VERSION: typing.Final = 1
    CREATE: typing.Final = 2
    MOD: typing.Final = 3
    VALUE: typing.Final = 4
    KEY_FIELD_NUMBER: typing.Final = 1
    RANGE_END_FIELD_NUMBER: typing.Final = 2
    LIMIT_FIELD_NUMBER: typing.Final = 3
    REVISION_FIELD_NUMBER: typing.Final = 4
    SORT_ORDER_FIELD_NUMBER: typing.Final = 5
    SORT_TARGET_FIELD_NUMBER: typing.Final = 6
    SERIALIZABLE_FIELD_NUMBER: typing.Final = 7
    KEYS_ONLY_FIELD_NUMBER: typing.Final = 8
    COUNT_ONLY_FIELD_NUMBER: typing.Final = 9
    MIN_MOD_REVISION_FIELD_NUMBER: typing.Final = 10
    MAX_MOD_REVISION_FIELD_NUMBER: typing.Final = 11
    MIN_CREATE_REVISION_FIELD_NUMBER: typing.Final = 12
    MAX_CREATE_REVISION_FIELD_NUMBER: typing.Final = 13
    key: builtins.bytes
    range_end: builtins.bytes
    limit: builtins.int
    revision: builtins.int
    sort_order: builtins.int
    sort_target: builtins.int
    serializable: builtins.bool
    keys_only: builtins.bool
    count_only: builtins.bool
    min_mod_revision: builtins.int
    max_mod_revision: builtins.int
    min_create_revision: builtins.int
    max_create_revision: builtins.int
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
        range_end: builtins.bytes = ...,
        limit: builtins.int = ...,
        revision: builtins.int = ...,
        sort_order: builtins.int = ...,
        sort_target: builtins.int = ...,
        serializable: builtins.bool = ...,
        keys_only: builtins.bool = ...,
        count_only: builtins.bool = ...,
        min_mod_revision: builtins.int = ...,
        max_mod_revision: builtins.int = ...,
        min_create_revision: builtins.int = ...,
        max_create_revision: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key", "range_end", "limit", "revision", "sort_order", "sort_target", "serializable", "keys_only", "count_only", "min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"]) -> None: ...

@typing.final
class RangeResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    KVS_FIELD_NUMBER: typing.Final = 2
    MORE_FIELD_NUMBER: typing.Final = 3
    COUNT_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def kvs(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[mvccpb.KeyValue]: ...
    more: builtins.bool
    count: builtins.int
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        kvs: collections.abc.Iterable[mvccpb.KeyValue] | None = ...,
        more: builtins.bool = ...,
        count: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "kvs", "more", "count"]) -> None: ...

@typing.final
class RangeStreamResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    RANGE_RESPONSE_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def range_response(self) -> RangeResponse: ...
    def __init__(
        self,
        *,
        range_response: RangeResponse | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["range_response"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["range_response"]) -> None: ...

@typing.final
class PutRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    KEY_FIELD_NUMBER: typing.Final = 1
    VALUE_FIELD_NUMBER: typing.Final = 2
    LEASE_FIELD_NUMBER: typing.Final = 3
    PREV_KV_FIELD_NUMBER: typing.Final = 4
    IGNORE_VALUE_FIELD_NUMBER: typing.Final = 5
    IGNORE_LEASE_FIELD_NUMBER: typing.Final = 6
    key: builtins.bytes
    value: builtins.bytes
    lease: builtins.int
    prev_kv: builtins.bool
    ignore_value: builtins.bool
    ignore_lease: builtins.bool
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
        value: builtins.bytes = ...,
        lease: builtins.int = ...,
        prev_kv: builtins.bool = ...,
        ignore_value: builtins.bool = ...,
        ignore_lease: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key", "value", "lease", "prev_kv", "ignore_value", "ignore_lease"]) -> None: ...

@typing.final
class PutResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    PREV_KV_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def prev_kv(self) -> mvccpb.KeyValue: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        prev_kv: mvccpb.KeyValue | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header", "prev_kv"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "prev_kv"]) -> None: ...

@typing.final
class DeleteRangeRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    KEY_FIELD_NUMBER: typing.Final = 1
    RANGE_END_FIELD_NUMBER: typing.Final = 2
    PREV_KV_FIELD_NUMBER: typing.Final = 3
    key: builtins.bytes
    range_end: builtins.bytes
    prev_kv: builtins.bool
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
        range_end: builtins.bytes = ...,
        prev_kv: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key", "range_end", "prev_kv"]) -> None: ...

@typing.final
class DeleteRangeResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    DELETED_FIELD_NUMBER: typing.Final = 2
    PREV_KVS_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def header(self) -> ResponseHeader: ...
    deleted: builtins.int
    @builtins.property
    def prev_kvs(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[mvccpb.KeyValue]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        deleted: builtins.int = ...,
        prev_kvs: collections.abc.Iterable[mvccpb.KeyValue] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "deleted", "prev_kvs"]) -> None: ...

@typing.final
class RequestOp(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    REQUEST_RANGE_FIELD_NUMBER: typing.Final = 1
    REQUEST_PUT_FIELD_NUMBER: typing.Final = 2
    REQUEST_DELETE_RANGE_FIELD_NUMBER: typing.Final = 3
    REQUEST_TXN_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def request_range(self) -> RangeRequest: ...
    @builtins.property
    def request_put(self) -> PutRequest: ...
    @builtins.property
    def request_delete_range(self) -> DeleteRangeRequest: ...
    @builtins.property
    def request_txn(self) -> TxnRequest: ...
    def __init__(
        self,
        *,
        request_range: RangeRequest | None = ...,
        request_put: PutRequest | None = ...,
        request_delete_range: DeleteRangeRequest | None = ...,
        request_txn: TxnRequest | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["request_range", "request_put", "request_delete_range", "request_txn", "request"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["request_range", "request_put", "request_delete_range", "request_txn", "request"]) -> None: ...
    def WhichOneof(self, oneof_group: typing.Literal["request"]) -> typing.Literal["request_range", "request_put", "request_delete_range", "request_txn"] | None: ...

@typing.final
class ResponseOp(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    RESPONSE_RANGE_FIELD_NUMBER: typing.Final = 1
    RESPONSE_PUT_FIELD_NUMBER: typing.Final = 2
    RESPONSE_DELETE_RANGE_FIELD_NUMBER: typing.Final = 3
    RESPONSE_TXN_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def response_range(self) -> RangeResponse: ...
    @builtins.property
    def response_put(self) -> PutResponse: ...
    @builtins.property
    def response_delete_range(self) -> DeleteRangeResponse: ...
    @builtins.property
    def response_txn(self) -> TxnResponse: ...
    def __init__(
        self,
        *,
        response_range: RangeResponse | None = ...,
        response_put: PutResponse | None = ...,
        response_delete_range: DeleteRangeResponse | None = ...,
        response_txn: TxnResponse | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["response_range", "response_put", "response_delete_range", "response_txn", "response"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["response_range", "response_put", "response_delete_range", "response_txn", "response"]) -> None: ...
    def WhichOneof(self, oneof_group: typing.Literal["response"]) -> typing.Literal["response_range", "response_put", "response_delete_range", "response_txn"] | None: ...

@typing.final
class Compare(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CompareResult: EnumTypeWrapper
    EQUAL: typing.Final = 0
    GREATER: typing.Final = 1
    LESS: typing.Final = 2
    NOT_EQUAL: typing.Final = 3
    CompareTarget: EnumTypeWrapper
    VERSION: typing.Final = 0
    CREATE: typing.Final = 1
    MOD: typing.Final = 2
    VALUE: typing.Final = 3
    LEASE: typing.Final = 4
    RESULT_FIELD_NUMBER: typing.Final = 1
    TARGET_FIELD_NUMBER: typing.Final = 2
    KEY_FIELD_NUMBER: typing.Final = 3
    VERSION_FIELD_NUMBER: typing.Final = 4
    CREATE_REVISION_FIELD_NUMBER: typing.Final = 5
    MOD_REVISION_FIELD_NUMBER: typing.Final = 6
    VALUE_FIELD_NUMBER: typing.Final = 7
    LEASE_FIELD_NUMBER: typing.Final = 8
    RANGE_END_FIELD_NUMBER: typing.Final = 64
    result: builtins.int
    target: builtins.int
    key: builtins.bytes
    version: builtins.int
    create_revision: builtins.int
    mod_revision: builtins.int
    value: builtins.bytes
    lease: builtins.int
    range_end: builtins.bytes
    def __init__(
        self,
        *,
        result: builtins.int = ...,
        target: builtins.int = ...,
        key: builtins.bytes = ...,
        version: builtins.int = ...,
        create_revision: builtins.int = ...,
        mod_revision: builtins.int = ...,
        value: builtins.bytes = ...,
        lease: builtins.int = ...,
        range_end: builtins.bytes = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["version", "create_revision", "mod_revision", "value", "lease", "target_union"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["result", "target", "key", "version", "create_revision", "mod_revision", "value", "lease", "range_end", "target_union"]) -> None: ...
    def WhichOneof(self, oneof_group: typing.Literal["target_union"]) -> typing.Literal["version", "create_revision", "mod_revision", "value", "lease"] | None: ...

@typing.final
class TxnRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    COMPARE_FIELD_NUMBER: typing.Final = 1
    SUCCESS_FIELD_NUMBER: typing.Final = 2
    FAILURE_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def compare(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Compare]: ...
    @builtins.property
    def success(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[RequestOp]: ...
    @builtins.property
    def failure(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[RequestOp]: ...
    def __init__(
        self,
        *,
        compare: collections.abc.Iterable[Compare] | None = ...,
        success: collections.abc.Iterable[RequestOp] | None = ...,
        failure: collections.abc.Iterable[RequestOp] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["compare", "success", "failure"]) -> None: ...

@typing.final
class TxnResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    SUCCEEDED_FIELD_NUMBER: typing.Final = 2
    RESPONSES_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def header(self) -> ResponseHeader: ...
    succeeded: builtins.bool
    @builtins.property
    def responses(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[ResponseOp]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        succeeded: builtins.bool = ...,
        responses: collections.abc.Iterable[ResponseOp] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "succeeded", "responses"]) -> None: ...

@typing.final
class CompactionRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    REVISION_FIELD_NUMBER: typing.Final = 1
    PHYSICAL_FIELD_NUMBER: typing.Final = 2
    revision: builtins.int
    physical: builtins.bool
    def __init__(
        self,
        *,
        revision: builtins.int = ...,
        physical: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["revision", "physical"]) -> None: ...

@typing.final
class CompactionResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class WatchRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CREATE_REQUEST_FIELD_NUMBER: typing.Final = 1
    CANCEL_REQUEST_FIELD_NUMBER: typing.Final = 2
    PROGRESS_REQUEST_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def create_request(self) -> WatchCreateRequest: ...
    @builtins.property
    def cancel_request(self) -> WatchCancelRequest: ...
    @builtins.property
    def progress_request(self) -> WatchProgressRequest: ...
    def __init__(
        self,
        *,
        create_request: WatchCreateRequest | None = ...,
        cancel_request: WatchCancelRequest | None = ...,
        progress_request: WatchProgressRequest | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["create_request", "cancel_request", "progress_request", "request_union"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["create_request", "cancel_request", "progress_request", "request_union"]) -> None: ...
    def WhichOneof(self, oneof_group: typing.Literal["request_union"]) -> typing.Literal["create_request", "cancel_request", "progress_request"] | None: ...

@typing.final
class WatchCreateRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    FilterType: EnumTypeWrapper
    NOPUT: typing.Final = 0
    NODELETE: typing.Final = 1
    KEY_FIELD_NUMBER: typing.Final = 1
    RANGE_END_FIELD_NUMBER: typing.Final = 2
    START_REVISION_FIELD_NUMBER: typing.Final = 3
    PROGRESS_NOTIFY_FIELD_NUMBER: typing.Final = 4
    FILTERS_FIELD_NUMBER: typing.Final = 5
    PREV_KV_FIELD_NUMBER: typing.Final = 6
    WATCH_ID_FIELD_NUMBER: typing.Final = 7
    FRAGMENT_FIELD_NUMBER: typing.Final = 8
    key: builtins.bytes
    range_end: builtins.bytes
    start_revision: builtins.int
    progress_notify: builtins.bool
    @builtins.property
    def filters(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.int]: ...
    prev_kv: builtins.bool
    watch_id: builtins.int
    fragment: builtins.bool
    def __init__(
        self,
        *,
        key: builtins.bytes = ...,
        range_end: builtins.bytes = ...,
        start_revision: builtins.int = ...,
        progress_notify: builtins.bool = ...,
        filters: collections.abc.Iterable[builtins.int] | None = ...,
        prev_kv: builtins.bool = ...,
        watch_id: builtins.int = ...,
        fragment: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["key", "range_end", "start_revision", "progress_notify", "filters", "prev_kv", "watch_id", "fragment"]) -> None: ...

@typing.final
class WatchCancelRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    WATCH_ID_FIELD_NUMBER: typing.Final = 1
    watch_id: builtins.int
    def __init__(
        self,
        *,
        watch_id: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["watch_id"]) -> None: ...

@typing.final
class WatchProgressRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class WatchResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    WATCH_ID_FIELD_NUMBER: typing.Final = 2
    CREATED_FIELD_NUMBER: typing.Final = 3
    CANCELED_FIELD_NUMBER: typing.Final = 4
    COMPACT_REVISION_FIELD_NUMBER: typing.Final = 5
    CANCEL_REASON_FIELD_NUMBER: typing.Final = 6
    FRAGMENT_FIELD_NUMBER: typing.Final = 7
    EVENTS_FIELD_NUMBER: typing.Final = 11
    @builtins.property
    def header(self) -> ResponseHeader: ...
    watch_id: builtins.int
    created: builtins.bool
    canceled: builtins.bool
    compact_revision: builtins.int
    cancel_reason: builtins.str
    fragment: builtins.bool
    @builtins.property
    def events(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[mvccpb.Event]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        watch_id: builtins.int = ...,
        created: builtins.bool = ...,
        canceled: builtins.bool = ...,
        compact_revision: builtins.int = ...,
        cancel_reason: builtins.str = ...,
        fragment: builtins.bool = ...,
        events: collections.abc.Iterable[mvccpb.Event] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "watch_id", "created", "canceled", "compact_revision", "cancel_reason", "fragment", "events"]) -> None: ...

@typing.final
class LeaseGrantRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TTL_FIELD_NUMBER: typing.Final = 1
    ID_FIELD_NUMBER: typing.Final = 2
    TTL: builtins.int
    ID: builtins.int
    def __init__(
        self,
        *,
        TTL: builtins.int = ...,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["TTL", "ID"]) -> None: ...

@typing.final
class LeaseGrantResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ID_FIELD_NUMBER: typing.Final = 2
    TTL_FIELD_NUMBER: typing.Final = 3
    ERROR_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def header(self) -> ResponseHeader: ...
    ID: builtins.int
    TTL: builtins.int
    error: builtins.str
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        ID: builtins.int = ...,
        TTL: builtins.int = ...,
        error: builtins.str = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "ID", "TTL", "error"]) -> None: ...

@typing.final
class LeaseRevokeRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    ID: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID"]) -> None: ...

@typing.final
class LeaseRevokeResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class LeaseCheckpoint(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    REMAINING_TTL_FIELD_NUMBER: typing.Final = 2
    ID: builtins.int
    remaining_TTL: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        remaining_TTL: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "remaining_TTL"]) -> None: ...

@typing.final
class LeaseCheckpointRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    CHECKPOINTS_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def checkpoints(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[LeaseCheckpoint]: ...
    def __init__(
        self,
        *,
        checkpoints: collections.abc.Iterable[LeaseCheckpoint] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["checkpoints"]) -> None: ...

@typing.final
class LeaseCheckpointResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class LeaseKeepAliveRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    ID: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID"]) -> None: ...

@typing.final
class LeaseKeepAliveResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ID_FIELD_NUMBER: typing.Final = 2
    TTL_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def header(self) -> ResponseHeader: ...
    ID: builtins.int
    TTL: builtins.int
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        ID: builtins.int = ...,
        TTL: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "ID", "TTL"]) -> None: ...

@typing.final
class LeaseTimeToLiveRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    KEYS_FIELD_NUMBER: typing.Final = 2
    ID: builtins.int
    keys: builtins.bool
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        keys: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "keys"]) -> None: ...

@typing.final
class LeaseTimeToLiveResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ID_FIELD_NUMBER: typing.Final = 2
    TTL_FIELD_NUMBER: typing.Final = 3
    GRANTEDTTL_FIELD_NUMBER: typing.Final = 4
    KEYS_FIELD_NUMBER: typing.Final = 5
    @builtins.property
    def header(self) -> ResponseHeader: ...
    ID: builtins.int
    TTL: builtins.int
    grantedTTL: builtins.int
    @builtins.property
    def keys(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.bytes]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        ID: builtins.int = ...,
        TTL: builtins.int = ...,
        grantedTTL: builtins.int = ...,
        keys: collections.abc.Iterable[builtins.bytes] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "ID", "TTL", "grantedTTL", "keys"]) -> None: ...

@typing.final
class LeaseLeasesRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class LeaseStatus(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    ID: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID"]) -> None: ...

@typing.final
class LeaseLeasesResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    LEASES_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def leases(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[LeaseStatus]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        leases: collections.abc.Iterable[LeaseStatus] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "leases"]) -> None: ...

@typing.final
class Member(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    NAME_FIELD_NUMBER: typing.Final = 2
    PEERURLS_FIELD_NUMBER: typing.Final = 3
    CLIENTURLS_FIELD_NUMBER: typing.Final = 4
    ISLEARNER_FIELD_NUMBER: typing.Final = 5
    ID: builtins.int
    name: builtins.str
    @builtins.property
    def peerURLs(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    @builtins.property
    def clientURLs(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    isLearner: builtins.bool
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        name: builtins.str = ...,
        peerURLs: collections.abc.Iterable[builtins.str] | None = ...,
        clientURLs: collections.abc.Iterable[builtins.str] | None = ...,
        isLearner: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "name", "peerURLs", "clientURLs", "isLearner"]) -> None: ...

@typing.final
class MemberAddRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    PEERURLS_FIELD_NUMBER: typing.Final = 1
    ISLEARNER_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def peerURLs(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    isLearner: builtins.bool
    def __init__(
        self,
        *,
        peerURLs: collections.abc.Iterable[builtins.str] | None = ...,
        isLearner: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["peerURLs", "isLearner"]) -> None: ...

@typing.final
class MemberAddResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    MEMBER_FIELD_NUMBER: typing.Final = 2
    MEMBERS_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def member(self) -> Member: ...
    @builtins.property
    def members(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Member]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        member: Member | None = ...,
        members: collections.abc.Iterable[Member] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header", "member"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "member", "members"]) -> None: ...

@typing.final
class MemberRemoveRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    ID: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID"]) -> None: ...

@typing.final
class MemberRemoveResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    MEMBERS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def members(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Member]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        members: collections.abc.Iterable[Member] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "members"]) -> None: ...

@typing.final
class MemberUpdateRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    PEERURLS_FIELD_NUMBER: typing.Final = 2
    ID: builtins.int
    @builtins.property
    def peerURLs(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        peerURLs: collections.abc.Iterable[builtins.str] | None = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "peerURLs"]) -> None: ...

@typing.final
class MemberUpdateResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    MEMBERS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def members(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Member]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        members: collections.abc.Iterable[Member] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "members"]) -> None: ...

@typing.final
class MemberListRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    LINEARIZABLE_FIELD_NUMBER: typing.Final = 1
    linearizable: builtins.bool
    def __init__(
        self,
        *,
        linearizable: builtins.bool = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["linearizable"]) -> None: ...

@typing.final
class MemberListResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    MEMBERS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def members(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Member]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        members: collections.abc.Iterable[Member] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "members"]) -> None: ...

@typing.final
class MemberPromoteRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    ID: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID"]) -> None: ...

@typing.final
class MemberPromoteResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    MEMBERS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def members(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[Member]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        members: collections.abc.Iterable[Member] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "members"]) -> None: ...

@typing.final
class AlarmRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    AlarmAction: EnumTypeWrapper
    GET: typing.Final = 0
    ACTIVATE: typing.Final = 1
    DEACTIVATE: typing.Final = 2
    ACTION_FIELD_NUMBER: typing.Final = 1
    MEMBERID_FIELD_NUMBER: typing.Final = 2
    ALARM_FIELD_NUMBER: typing.Final = 3
    action: builtins.int
    memberID: builtins.int
    alarm: builtins.int
    def __init__(
        self,
        *,
        action: builtins.int = ...,
        memberID: builtins.int = ...,
        alarm: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["action", "memberID", "alarm"]) -> None: ...

@typing.final
class AlarmMember(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    MEMBERID_FIELD_NUMBER: typing.Final = 1
    ALARM_FIELD_NUMBER: typing.Final = 2
    memberID: builtins.int
    alarm: builtins.int
    def __init__(
        self,
        *,
        memberID: builtins.int = ...,
        alarm: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["memberID", "alarm"]) -> None: ...

@typing.final
class AlarmResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ALARMS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def alarms(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[AlarmMember]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        alarms: collections.abc.Iterable[AlarmMember] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "alarms"]) -> None: ...

@typing.final
class StatusRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class StatusResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    VERSION_FIELD_NUMBER: typing.Final = 2
    DBSIZE_FIELD_NUMBER: typing.Final = 3
    LEADER_FIELD_NUMBER: typing.Final = 4
    RAFTINDEX_FIELD_NUMBER: typing.Final = 5
    RAFTTERM_FIELD_NUMBER: typing.Final = 6
    RAFTAPPLIEDINDEX_FIELD_NUMBER: typing.Final = 7
    ERRORS_FIELD_NUMBER: typing.Final = 8
    DBSIZEINUSE_FIELD_NUMBER: typing.Final = 9
    ISLEARNER_FIELD_NUMBER: typing.Final = 10
    STORAGEVERSION_FIELD_NUMBER: typing.Final = 11
    DBSIZEQUOTA_FIELD_NUMBER: typing.Final = 12
    DOWNGRADEINFO_FIELD_NUMBER: typing.Final = 13
    @builtins.property
    def header(self) -> ResponseHeader: ...
    version: builtins.str
    dbSize: builtins.int
    leader: builtins.int
    raftIndex: builtins.int
    raftTerm: builtins.int
    raftAppliedIndex: builtins.int
    @builtins.property
    def errors(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    dbSizeInUse: builtins.int
    isLearner: builtins.bool
    storageVersion: builtins.str
    dbSizeQuota: builtins.int
    @builtins.property
    def downgradeInfo(self) -> DowngradeInfo: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        version: builtins.str = ...,
        dbSize: builtins.int = ...,
        leader: builtins.int = ...,
        raftIndex: builtins.int = ...,
        raftTerm: builtins.int = ...,
        raftAppliedIndex: builtins.int = ...,
        errors: collections.abc.Iterable[builtins.str] | None = ...,
        dbSizeInUse: builtins.int = ...,
        isLearner: builtins.bool = ...,
        storageVersion: builtins.str = ...,
        dbSizeQuota: builtins.int = ...,
        downgradeInfo: DowngradeInfo | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header", "downgradeInfo"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "version", "dbSize", "leader", "raftIndex", "raftTerm", "raftAppliedIndex", "errors", "dbSizeInUse", "isLearner", "storageVersion", "dbSizeQuota", "downgradeInfo"]) -> None: ...

@typing.final
class DowngradeInfo(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ENABLED_FIELD_NUMBER: typing.Final = 1
    TARGETVERSION_FIELD_NUMBER: typing.Final = 2
    enabled: builtins.bool
    targetVersion: builtins.str
    def __init__(
        self,
        *,
        enabled: builtins.bool = ...,
        targetVersion: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["enabled", "targetVersion"]) -> None: ...

@typing.final
class DefragmentRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class DefragmentResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class HashRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class HashResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    HASH_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    hash: builtins.int
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        hash: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "hash"]) -> None: ...

@typing.final
class HashKVRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    REVISION_FIELD_NUMBER: typing.Final = 1
    revision: builtins.int
    def __init__(
        self,
        *,
        revision: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["revision"]) -> None: ...

@typing.final
class HashKVResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    HASH_FIELD_NUMBER: typing.Final = 2
    COMPACT_REVISION_FIELD_NUMBER: typing.Final = 3
    HASH_REVISION_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def header(self) -> ResponseHeader: ...
    hash: builtins.int
    compact_revision: builtins.int
    hash_revision: builtins.int
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        hash: builtins.int = ...,
        compact_revision: builtins.int = ...,
        hash_revision: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "hash", "compact_revision", "hash_revision"]) -> None: ...

@typing.final
class SnapshotRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class SnapshotResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    REMAINING_BYTES_FIELD_NUMBER: typing.Final = 2
    BLOB_FIELD_NUMBER: typing.Final = 3
    VERSION_FIELD_NUMBER: typing.Final = 4
    @builtins.property
    def header(self) -> ResponseHeader: ...
    remaining_bytes: builtins.int
    blob: builtins.bytes
    version: builtins.str
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        remaining_bytes: builtins.int = ...,
        blob: builtins.bytes = ...,
        version: builtins.str = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "remaining_bytes", "blob", "version"]) -> None: ...

@typing.final
class MoveLeaderRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    TARGETID_FIELD_NUMBER: typing.Final = 1
    targetID: builtins.int
    def __init__(
        self,
        *,
        targetID: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["targetID"]) -> None: ...

@typing.final
class MoveLeaderResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class DowngradeRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    DowngradeAction: EnumTypeWrapper
    VALIDATE: typing.Final = 0
    ENABLE: typing.Final = 1
    CANCEL: typing.Final = 2
    ACTION_FIELD_NUMBER: typing.Final = 1
    VERSION_FIELD_NUMBER: typing.Final = 2
    action: builtins.int
    version: builtins.str
    def __init__(
        self,
        *,
        action: builtins.int = ...,
        version: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["action", "version"]) -> None: ...

@typing.final
class DowngradeResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    VERSION_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    version: builtins.str
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        version: builtins.str = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "version"]) -> None: ...

@typing.final
class DowngradeVersionTestRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    VER_FIELD_NUMBER: typing.Final = 1
    ver: builtins.str
    def __init__(
        self,
        *,
        ver: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ver"]) -> None: ...

@typing.final
class AuthEnableRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class AuthEnableResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthDisableRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class AuthDisableResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthStatusRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class AuthStatusResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ENABLED_FIELD_NUMBER: typing.Final = 2
    AUTHREVISION_FIELD_NUMBER: typing.Final = 3
    @builtins.property
    def header(self) -> ResponseHeader: ...
    enabled: builtins.bool
    authRevision: builtins.int
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        enabled: builtins.bool = ...,
        authRevision: builtins.int = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "enabled", "authRevision"]) -> None: ...

@typing.final
class AuthenticateRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PASSWORD_FIELD_NUMBER: typing.Final = 2
    name: builtins.str
    password: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        password: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "password"]) -> None: ...

@typing.final
class AuthenticateResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    TOKEN_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    token: builtins.str
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        token: builtins.str = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "token"]) -> None: ...

@typing.final
class AuthUserAddRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PASSWORD_FIELD_NUMBER: typing.Final = 2
    OPTIONS_FIELD_NUMBER: typing.Final = 3
    HASHEDPASSWORD_FIELD_NUMBER: typing.Final = 4
    name: builtins.str
    password: builtins.str
    @builtins.property
    def options(self) -> authpb.UserAddOptions: ...
    hashedPassword: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        password: builtins.str = ...,
        options: authpb.UserAddOptions | None = ...,
        hashedPassword: builtins.str = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["options"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["name", "password", "options", "hashedPassword"]) -> None: ...

@typing.final
class AuthUserAddResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthUserGetRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    name: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name"]) -> None: ...

@typing.final
class AuthUserGetResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ROLES_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def roles(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        roles: collections.abc.Iterable[builtins.str] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "roles"]) -> None: ...

@typing.final
class AuthUserListRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class AuthUserListResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    USERS_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def users(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        users: collections.abc.Iterable[builtins.str] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "users"]) -> None: ...

@typing.final
class AuthUserDeleteRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    name: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name"]) -> None: ...

@typing.final
class AuthUserDeleteResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthUserChangePasswordRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PASSWORD_FIELD_NUMBER: typing.Final = 2
    HASHEDPASSWORD_FIELD_NUMBER: typing.Final = 3
    name: builtins.str
    password: builtins.str
    hashedPassword: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        password: builtins.str = ...,
        hashedPassword: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "password", "hashedPassword"]) -> None: ...

@typing.final
class AuthUserChangePasswordResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthUserGrantRoleRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    USER_FIELD_NUMBER: typing.Final = 1
    ROLE_FIELD_NUMBER: typing.Final = 2
    user: builtins.str
    role: builtins.str
    def __init__(
        self,
        *,
        user: builtins.str = ...,
        role: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["user", "role"]) -> None: ...

@typing.final
class AuthUserGrantRoleResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthUserRevokeRoleRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    ROLE_FIELD_NUMBER: typing.Final = 2
    name: builtins.str
    role: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        role: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "role"]) -> None: ...

@typing.final
class AuthUserRevokeRoleResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthRoleAddRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    name: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name"]) -> None: ...

@typing.final
class AuthRoleAddResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthRoleGetRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ROLE_FIELD_NUMBER: typing.Final = 1
    role: builtins.str
    def __init__(
        self,
        *,
        role: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["role"]) -> None: ...

@typing.final
class AuthRoleGetResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    PERM_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def perm(self) -> google.protobuf.internal.containers.RepeatedCompositeFieldContainer[authpb.Permission]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        perm: collections.abc.Iterable[authpb.Permission] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "perm"]) -> None: ...

@typing.final
class AuthRoleListRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class AuthRoleListResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    ROLES_FIELD_NUMBER: typing.Final = 2
    @builtins.property
    def header(self) -> ResponseHeader: ...
    @builtins.property
    def roles(self) -> google.protobuf.internal.containers.RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
        roles: collections.abc.Iterable[builtins.str] | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header", "roles"]) -> None: ...

@typing.final
class AuthRoleDeleteRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ROLE_FIELD_NUMBER: typing.Final = 1
    role: builtins.str
    def __init__(
        self,
        *,
        role: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["role"]) -> None: ...

@typing.final
class AuthRoleDeleteResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthRoleGrantPermissionRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PERM_FIELD_NUMBER: typing.Final = 2
    name: builtins.str
    @builtins.property
    def perm(self) -> authpb.Permission: ...
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        perm: authpb.Permission | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["perm"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["name", "perm"]) -> None: ...

@typing.final
class AuthRoleGrantPermissionResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class AuthRoleRevokePermissionRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ROLE_FIELD_NUMBER: typing.Final = 1
    KEY_FIELD_NUMBER: typing.Final = 2
    RANGE_END_FIELD_NUMBER: typing.Final = 3
    role: builtins.str
    key: builtins.bytes
    range_end: builtins.bytes
    def __init__(
        self,
        *,
        role: builtins.str = ...,
        key: builtins.bytes = ...,
        range_end: builtins.bytes = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["role", "key", "range_end"]) -> None: ...

@typing.final
class AuthRoleRevokePermissionResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    HEADER_FIELD_NUMBER: typing.Final = 1
    @builtins.property
    def header(self) -> ResponseHeader: ...
    def __init__(
        self,
        *,
        header: ResponseHeader | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["header"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["header"]) -> None: ...

@typing.final
class RequestHeader(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    USERNAME_FIELD_NUMBER: typing.Final = 2
    AUTH_REVISION_FIELD_NUMBER: typing.Final = 3
    ID: builtins.int
    username: builtins.str
    auth_revision: builtins.int
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        username: builtins.str = ...,
        auth_revision: builtins.int = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["ID", "username", "auth_revision"]) -> None: ...

@typing.final
class InternalRaftRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    ID_FIELD_NUMBER: typing.Final = 1
    RANGE_FIELD_NUMBER: typing.Final = 3
    PUT_FIELD_NUMBER: typing.Final = 4
    DELETE_RANGE_FIELD_NUMBER: typing.Final = 5
    TXN_FIELD_NUMBER: typing.Final = 6
    COMPACTION_FIELD_NUMBER: typing.Final = 7
    LEASE_GRANT_FIELD_NUMBER: typing.Final = 8
    LEASE_REVOKE_FIELD_NUMBER: typing.Final = 9
    ALARM_FIELD_NUMBER: typing.Final = 10
    LEASE_CHECKPOINT_FIELD_NUMBER: typing.Final = 11
    HEADER_FIELD_NUMBER: typing.Final = 100
    AUTH_ENABLE_FIELD_NUMBER: typing.Final = 1000
    AUTH_DISABLE_FIELD_NUMBER: typing.Final = 1011
    AUTHENTICATE_FIELD_NUMBER: typing.Final = 1012
    AUTH_STATUS_FIELD_NUMBER: typing.Final = 1013
    AUTH_USER_ADD_FIELD_NUMBER: typing.Final = 1100
    AUTH_USER_DELETE_FIELD_NUMBER: typing.Final = 1101
    AUTH_USER_GET_FIELD_NUMBER: typing.Final = 1102
    AUTH_USER_CHANGE_PASSWORD_FIELD_NUMBER: typing.Final = 1103
    AUTH_USER_GRANT_ROLE_FIELD_NUMBER: typing.Final = 1104
    AUTH_USER_REVOKE_ROLE_FIELD_NUMBER: typing.Final = 1105
    AUTH_USER_LIST_FIELD_NUMBER: typing.Final = 1106
    AUTH_ROLE_LIST_FIELD_NUMBER: typing.Final = 1107
    AUTH_ROLE_ADD_FIELD_NUMBER: typing.Final = 1200
    AUTH_ROLE_DELETE_FIELD_NUMBER: typing.Final = 1201
    AUTH_ROLE_GET_FIELD_NUMBER: typing.Final = 1202
    AUTH_ROLE_GRANT_PERMISSION_FIELD_NUMBER: typing.Final = 1203
    AUTH_ROLE_REVOKE_PERMISSION_FIELD_NUMBER: typing.Final = 1204
    CLUSTER_VERSION_SET_FIELD_NUMBER: typing.Final = 1300
    CLUSTER_MEMBER_ATTR_SET_FIELD_NUMBER: typing.Final = 1301
    DOWNGRADE_INFO_SET_FIELD_NUMBER: typing.Final = 1302
    DOWNGRADE_VERSION_TEST_FIELD_NUMBER: typing.Final = 9900
    ID: builtins.int
    @builtins.property
    def range(self) -> RangeRequest: ...
    @builtins.property
    def put(self) -> PutRequest: ...
    @builtins.property
    def delete_range(self) -> DeleteRangeRequest: ...
    @builtins.property
    def txn(self) -> TxnRequest: ...
    @builtins.property
    def compaction(self) -> CompactionRequest: ...
    @builtins.property
    def lease_grant(self) -> LeaseGrantRequest: ...
    @builtins.property
    def lease_revoke(self) -> LeaseRevokeRequest: ...
    @builtins.property
    def alarm(self) -> AlarmRequest: ...
    @builtins.property
    def lease_checkpoint(self) -> LeaseCheckpointRequest: ...
    @builtins.property
    def header(self) -> RequestHeader: ...
    @builtins.property
    def auth_enable(self) -> AuthEnableRequest: ...
    @builtins.property
    def auth_disable(self) -> AuthDisableRequest: ...
    @builtins.property
    def authenticate(self) -> InternalAuthenticateRequest: ...
    @builtins.property
    def auth_status(self) -> AuthStatusRequest: ...
    @builtins.property
    def auth_user_add(self) -> AuthUserAddRequest: ...
    @builtins.property
    def auth_user_delete(self) -> AuthUserDeleteRequest: ...
    @builtins.property
    def auth_user_get(self) -> AuthUserGetRequest: ...
    @builtins.property
    def auth_user_change_password(self) -> AuthUserChangePasswordRequest: ...
    @builtins.property
    def auth_user_grant_role(self) -> AuthUserGrantRoleRequest: ...
    @builtins.property
    def auth_user_revoke_role(self) -> AuthUserRevokeRoleRequest: ...
    @builtins.property
    def auth_user_list(self) -> AuthUserListRequest: ...
    @builtins.property
    def auth_role_list(self) -> AuthRoleListRequest: ...
    @builtins.property
    def auth_role_add(self) -> AuthRoleAddRequest: ...
    @builtins.property
    def auth_role_delete(self) -> AuthRoleDeleteRequest: ...
    @builtins.property
    def auth_role_get(self) -> AuthRoleGetRequest: ...
    @builtins.property
    def auth_role_grant_permission(self) -> AuthRoleGrantPermissionRequest: ...
    @builtins.property
    def auth_role_revoke_permission(self) -> AuthRoleRevokePermissionRequest: ...
    @builtins.property
    def cluster_version_set(self) -> membershippb.ClusterVersionSetRequest: ...
    @builtins.property
    def cluster_member_attr_set(self) -> membershippb.ClusterMemberAttrSetRequest: ...
    @builtins.property
    def downgrade_info_set(self) -> membershippb.DowngradeInfoSetRequest: ...
    @builtins.property
    def downgrade_version_test(self) -> DowngradeVersionTestRequest: ...
    def __init__(
        self,
        *,
        ID: builtins.int = ...,
        range: RangeRequest | None = ...,
        put: PutRequest | None = ...,
        delete_range: DeleteRangeRequest | None = ...,
        txn: TxnRequest | None = ...,
        compaction: CompactionRequest | None = ...,
        lease_grant: LeaseGrantRequest | None = ...,
        lease_revoke: LeaseRevokeRequest | None = ...,
        alarm: AlarmRequest | None = ...,
        lease_checkpoint: LeaseCheckpointRequest | None = ...,
        header: RequestHeader | None = ...,
        auth_enable: AuthEnableRequest | None = ...,
        auth_disable: AuthDisableRequest | None = ...,
        authenticate: InternalAuthenticateRequest | None = ...,
        auth_status: AuthStatusRequest | None = ...,
        auth_user_add: AuthUserAddRequest | None = ...,
        auth_user_delete: AuthUserDeleteRequest | None = ...,
        auth_user_get: AuthUserGetRequest | None = ...,
        auth_user_change_password: AuthUserChangePasswordRequest | None = ...,
        auth_user_grant_role: AuthUserGrantRoleRequest | None = ...,
        auth_user_revoke_role: AuthUserRevokeRoleRequest | None = ...,
        auth_user_list: AuthUserListRequest | None = ...,
        auth_role_list: AuthRoleListRequest | None = ...,
        auth_role_add: AuthRoleAddRequest | None = ...,
        auth_role_delete: AuthRoleDeleteRequest | None = ...,
        auth_role_get: AuthRoleGetRequest | None = ...,
        auth_role_grant_permission: AuthRoleGrantPermissionRequest | None = ...,
        auth_role_revoke_permission: AuthRoleRevokePermissionRequest | None = ...,
        cluster_version_set: membershippb.ClusterVersionSetRequest | None = ...,
        cluster_member_attr_set: membershippb.ClusterMemberAttrSetRequest | None = ...,
        downgrade_info_set: membershippb.DowngradeInfoSetRequest | None = ...,
        downgrade_version_test: DowngradeVersionTestRequest | None = ...,
    ) -> None: ...
    def HasField(self, field_name: typing.Literal["range", "put", "delete_range", "txn", "compaction", "lease_grant", "lease_revoke", "alarm", "lease_checkpoint", "header", "auth_enable", "auth_disable", "authenticate", "auth_status", "auth_user_add", "auth_user_delete", "auth_user_get", "auth_user_change_password", "auth_user_grant_role", "auth_user_revoke_role", "auth_user_list", "auth_role_list", "auth_role_add", "auth_role_delete", "auth_role_get", "auth_role_grant_permission", "auth_role_revoke_permission", "cluster_version_set", "cluster_member_attr_set", "downgrade_info_set", "downgrade_version_test"]) -> builtins.bool: ...
    def ClearField(self, field_name: typing.Literal["ID", "range", "put", "delete_range", "txn", "compaction", "lease_grant", "lease_revoke", "alarm", "lease_checkpoint", "header", "auth_enable", "auth_disable", "authenticate", "auth_status", "auth_user_add", "auth_user_delete", "auth_user_get", "auth_user_change_password", "auth_user_grant_role", "auth_user_revoke_role", "auth_user_list", "auth_role_list", "auth_role_add", "auth_role_delete", "auth_role_get", "auth_role_grant_permission", "auth_role_revoke_permission", "cluster_version_set", "cluster_member_attr_set", "downgrade_info_set", "downgrade_version_test"]) -> None: ...

@typing.final
class EmptyResponse(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    def __init__(self) -> None: ...

@typing.final
class InternalAuthenticateRequest(google.protobuf.message.Message):
    DESCRIPTOR: google.protobuf.descriptor.Descriptor
    NAME_FIELD_NUMBER: typing.Final = 1
    PASSWORD_FIELD_NUMBER: typing.Final = 2
    SIMPLE_TOKEN_FIELD_NUMBER: typing.Final = 3
    name: builtins.str
    password: builtins.str
    simple_token: builtins.str
    def __init__(
        self,
        *,
        name: builtins.str = ...,
        password: builtins.str = ...,
        simple_token: builtins.str = ...,
    ) -> None: ...
    def ClearField(self, field_name: typing.Literal["name", "password", "simple_token"]) -> None: ...
