-- name: holds
-- Whether a load has left anything; reads a column of a month's values, for loads that were left open for long.
select
    (select count() from usage_events where topic = {topic:String} and load_id = {load_id:Int64})
    + (select count() from meter_values where load_id = {load_id:Int64} and partition = {partition:UInt16})
