//! Services in pieces that the server takes: reading, browsing, subscriptions that move, methods, history.

use std::time::Duration;

use opcua::{
    client::{
        HistoryReadAction, UARequest,
        services::{Browse, BrowseNext, Call, HistoryRead, Read, TransferSubscriptions},
    },
    types::{
        BrowseDescription, ByteString, CallMethodRequest, DataValue, DateTime, HistoryReadResult,
        HistoryReadValueId, MethodId, NodeId, ObjectId, ObjectTypeId, ReadRawModifiedDetails,
        ReadValueId, ReferenceDescription, StatusCode, TimestampsToReturn, TransferResult,
        VariableId, Variant,
    },
};

use super::{LOG_ID, Session, within};
use crate::error::OpcuaError;

/// What is asked for at once where the server sets no limit.
const NODES_PER_CALL: usize = 500;
/// Nodes in one request for history, each of which may bring many values.
const HISTORY_NODES_PER_CALL: usize = 20;
/// References of one node in one answer.
const REFERENCES_MAX: u32 = 1000;

/// How much a server takes in one request (Part 5, 6.3.11); at least 1 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) items: usize,
    pub(crate) read: usize,
    pub(crate) browse: usize,
    pub(crate) history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items: NODES_PER_CALL,
            read: NODES_PER_CALL,
            browse: NODES_PER_CALL,
            history: HISTORY_NODES_PER_CALL,
        }
    }
}

/// What is left to browse of a node.
type Continued = (usize, ByteString);

impl Session {
    /// How much the server takes in one request; the defaults where it does not say.
    pub(crate) async fn limits(&self) -> Result<Limits, OpcuaError> {
        let mut limits = Limits::default();
        let wanted: [(VariableId, &mut usize); 4] = [
            (
                VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
                &mut limits.items,
            ),
            (
                VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
                &mut limits.read,
            ),
            (
                VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
                &mut limits.browse,
            ),
            (
                VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
                &mut limits.history,
            ),
        ];
        for (variable, limit) in wanted {
            // One by one: a server may take no more than one node in a request.
            let found = self.read(&[variable], self.timeout).await?;
            if let Some(Variant::UInt32(known @ 1..)) =
                found.into_iter().next().and_then(|data| data.value)
            {
                *limit = (*limit).min(known as usize);
            }
        }
        Ok(limits)
    }

    /// When the server was started, by its own clock; none where it does not say.
    pub(crate) async fn server_start(&self) -> Result<Option<DateTime>, OpcuaError> {
        let variable = VariableId::Server_ServerStatus_StartTime;
        let found = self.read(&[variable], self.timeout).await?;
        Ok(match found.into_iter().next().and_then(|data| data.value) {
            Some(Variant::DateTime(time)) if !time.is_null() => Some(*time),
            _ => None,
        })
    }

    /// Attributes of nodes, one for each that is asked for, in order.
    pub(crate) async fn read_attributes(
        &self,
        nodes: &[ReadValueId],
        at_most: usize,
    ) -> Result<Vec<DataValue>, OpcuaError> {
        let mut values = Vec::with_capacity(nodes.len());
        for some in nodes.chunks(at_most) {
            let request = Read::new_manual(
                LOG_ID,
                self.timeout,
                self.token.clone(),
                self.channel.request_handle(),
            )
            .timestamps_to_return(TimestampsToReturn::Both)
            .nodes_to_read(some.to_vec());
            let answer = within("read", self.timeout, request.send(&self.channel)).await?;
            let results = answer.results.unwrap_or_default();
            if results.len() != some.len() {
                return Err(OpcuaError::Ended(format!(
                    "the server answered {} of {} reads",
                    results.len(),
                    some.len()
                )));
            }
            values.extend(results);
        }
        Ok(values)
    }

    /// The references of nodes, at most `references_max` of each, in order; none of a node that the server refuses.
    pub(crate) async fn browse(
        &self,
        nodes: &[BrowseDescription],
        at_most: usize,
        references_max: usize,
    ) -> Result<Vec<Vec<ReferenceDescription>>, OpcuaError> {
        let mut found: Vec<Vec<ReferenceDescription>> = vec![Vec::new(); nodes.len()];
        for (base, some) in (0..).step_by(at_most).zip(nodes.chunks(at_most)) {
            let request = Browse::new_manual(
                LOG_ID,
                self.timeout,
                self.token.clone(),
                self.channel.request_handle(),
            )
            .max_references_per_node(REFERENCES_MAX)
            .nodes_to_browse(some.to_vec());
            let answer = within("browse", self.timeout, request.send(&self.channel)).await?;
            let mut left: Vec<Continued> = Vec::new();
            for (place, result) in (base..).zip(answer.results.unwrap_or_default()) {
                let Some(list) = found.get_mut(place) else {
                    break;
                };
                list.extend(result.references.unwrap_or_default());
                left.push((place, result.continuation_point));
            }
            for (place, point) in left {
                let Some(list) = found.get_mut(place) else {
                    break;
                };
                self.browse_on(point, references_max, list).await?;
            }
        }
        Ok(found)
    }

    async fn browse_on(
        &self,
        mut point: ByteString,
        references_max: usize,
        list: &mut Vec<ReferenceDescription>,
    ) -> Result<(), OpcuaError> {
        while !point.is_null_or_empty() {
            let is_enough = list.len() >= references_max;
            let request = BrowseNext::new_manual(
                LOG_ID,
                self.timeout,
                self.token.clone(),
                self.channel.request_handle(),
            )
            .release_continuation_points(is_enough)
            .continuation_point(point);
            let answer = within("browse on", self.timeout, request.send(&self.channel)).await?;
            let Some(result) = answer.results.unwrap_or_default().into_iter().next() else {
                break;
            };
            let references = result.references.unwrap_or_default();
            if is_enough || references.is_empty() {
                break;
            }
            list.extend(references);
            point = result.continuation_point;
        }
        list.truncate(references_max);
        Ok(())
    }

    /// Has this session go on with a subscription of an earlier one; answers the notifications that the server still has.
    pub(crate) async fn transfer(&self, subscription: u32) -> Result<Vec<u32>, OpcuaError> {
        let step = "take the subscription over";
        let request = TransferSubscriptions::new_manual(
            LOG_ID,
            self.timeout,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .send_initial_values(false)
        .subscription(subscription);
        let answer = within(step, self.timeout, request.send(&self.channel)).await?;
        let result: TransferResult = answer
            .results
            .unwrap_or_default()
            .into_iter()
            .next()
            .unwrap_or_default();
        if result.status_code.is_bad() {
            return Err(OpcuaError::Service {
                step,
                status: result.status_code,
                detail: String::new(),
            });
        }
        Ok(result.available_sequence_numbers.unwrap_or_default())
    }

    /// Has the server send the current value of every item again (Part 5, 9.2).
    pub(crate) async fn resend_data(&self, subscription: u32) -> Result<(), OpcuaError> {
        let step = "have all values sent again";
        let method = CallMethodRequest {
            object_id: ObjectId::Server.into(),
            method_id: MethodId::Server_ResendData.into(),
            input_arguments: Some(vec![Variant::UInt32(subscription)]),
        };
        let status = self.call(step, method).await?;
        if status.is_bad() {
            return Err(OpcuaError::Service {
                step,
                status,
                detail: String::new(),
            });
        }
        Ok(())
    }

    /// Has the server tell of every condition that it retains (Part 9, 5.5.7); answers what the server says of it. No answer in
    /// time is BadTimeout: a server may be long at it.
    pub(crate) async fn refresh_conditions(
        &self,
        subscription: u32,
    ) -> Result<StatusCode, OpcuaError> {
        let method = CallMethodRequest {
            object_id: ObjectTypeId::ConditionType.into(),
            method_id: MethodId::ConditionType_ConditionRefresh.into(),
            input_arguments: Some(vec![Variant::UInt32(subscription)]),
        };
        match self.call("refresh conditions", method).await {
            Err(OpcuaError::Service { status, .. }) => Ok(status),
            Err(OpcuaError::Timeout { .. }) => Ok(StatusCode::BadTimeout),
            called => called,
        }
    }

    async fn call(
        &self,
        step: &'static str,
        method: CallMethodRequest,
    ) -> Result<StatusCode, OpcuaError> {
        let request = Call::new_manual(
            LOG_ID,
            self.timeout,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .method(method);
        let answer = within(step, self.timeout, request.send(&self.channel)).await?;
        let result = answer.results.unwrap_or_default().into_iter().next();
        Ok(result.map_or(StatusCode::BadUnexpectedError, |result| result.status_code))
    }

    /// One page of the raw history of nodes, one result for each, in order. What is left of it is not kept at the server.
    pub(crate) async fn history(
        &self,
        nodes: &[NodeId],
        from: DateTime,
        to: DateTime,
        values_max: u32,
        limit: Duration,
    ) -> Result<Vec<HistoryReadResult>, OpcuaError> {
        let details = ReadRawModifiedDetails {
            is_read_modified: false,
            start_time: from,
            end_time: to,
            num_values_per_node: values_max,
            return_bounds: false,
        };
        let wanted = |node: &NodeId, point: ByteString| HistoryReadValueId {
            node_id: node.clone(),
            continuation_point: point,
            ..HistoryReadValueId::default()
        };
        let nodes_to_read = nodes
            .iter()
            .map(|node| wanted(node, ByteString::null()))
            .collect();
        let results = self
            .history_request(&details, nodes_to_read, limit, ContinuationPoints::Used)
            .await?;
        let left: Vec<HistoryReadValueId> = nodes
            .iter()
            .zip(&results)
            .filter(|(_, result)| !result.continuation_point.is_null_or_empty())
            .map(|(node, result)| wanted(node, result.continuation_point.clone()))
            .collect();
        if !left.is_empty() {
            // A server has few of them. Whether it answers this does not matter: what it sent is there.
            let released =
                self.history_request(&details, left, limit, ContinuationPoints::Released);
            if let Err(error) = released.await {
                tracing::debug!(%error, "releasing continuation points failed");
            }
        }
        Ok(results)
    }

    async fn history_request(
        &self,
        details: &ReadRawModifiedDetails,
        nodes: Vec<HistoryReadValueId>,
        limit: Duration,
        points: ContinuationPoints,
    ) -> Result<Vec<HistoryReadResult>, OpcuaError> {
        let request = HistoryRead::new_manual(
            HistoryReadAction::ReadRawModifiedDetails(details.clone()),
            LOG_ID,
            limit,
            self.token.clone(),
            self.channel.request_handle(),
        )
        .timestamps_to_return(TimestampsToReturn::Both)
        .release_continuation_points(points == ContinuationPoints::Released)
        .nodes_to_read(nodes);
        let answer = within("read history", limit, request.send(&self.channel)).await?;
        Ok(answer.results.unwrap_or_default())
    }
}

/// What becomes of the continuation points of a request for history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContinuationPoints {
    Used,
    Released,
}
