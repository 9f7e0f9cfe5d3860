-- Every statement names the organization: no one reads another tenant's rows (G7).

-- name: query_meter
-- A meter's aggregates by window, subject and groups, in two steps: atoms, then windows. Whole quarter hours come from
-- the rollup; what is left at the two ends (or everything, for windows that cut quarter hours) from meter_values, as
-- atoms of `atom_us`. The windows come as runs: `run_starts` (µs since 1970, ascending) and how long the windows are that
-- follow each other from there. `group_places` and `filter_places` count a meter's groups from 1.
-- The three placeholders are the lines of one of the blocks below.
with
    roundDown(at_us, {run_starts:Array(Int64)}) as run_us,
    {run_lengths:Array(Int64)}[indexOf({run_starts:Array(Int64)}, run_us)] as length_us
select
    run_us + intDiv(at_us - run_us, length_us) * length_us as window_us,
    subject_shown,
    groups_shown,
    sum(events) as event_count,
    ${whole} as quantity
from (
    select
        toInt64(toUnixTimestamp(quarter_at)) * 1000000 as at_us,
        if({by_subject:Bool}, subject, '') as subject_shown,
        arrayMap(place -> group_values[place], {group_places:Array(UInt8)}) as groups_shown,
        sum(events) as events,
        ${of_rollup} as part
    from meter_values_quarter_hourly
    where organization_id = {organization_id:UUID} and meter_id = {meter_id:UUID}
        and (empty({subjects:Array(String)}) or subject in {subjects:Array(String)})
        and quarter_at >= fromUnixTimestamp64Micro({quarters_from_us:Int64}, 'UTC')
        and quarter_at < fromUnixTimestamp64Micro({quarters_to_us:Int64}, 'UTC')
        and arrayAll((place, wanted) -> has(wanted, group_values[place]),
            {filter_places:Array(UInt8)}, {filter_values:Array(Array(String))})
    group by quarter_at, subject_shown, groups_shown
    union all
    select
        intDiv(toUnixTimestamp64Micro(time), {atom_us:Int64}) * {atom_us:Int64} as at_us,
        if({by_subject:Bool}, subject, '') as subject_shown,
        arrayMap(place -> group_values[place], {group_places:Array(UInt8)}) as groups_shown,
        count() as events,
        ${of_values} as part
    from meter_values
    where organization_id = {organization_id:UUID} and meter_id = {meter_id:UUID}
        and (empty({subjects:Array(String)}) or subject in {subjects:Array(String)})
        and (
            time >= fromUnixTimestamp64Micro({head_from_us:Int64}, 'UTC')
                and time < fromUnixTimestamp64Micro({head_to_us:Int64}, 'UTC')
            or time >= fromUnixTimestamp64Micro({tail_from_us:Int64}, 'UTC')
                and time < fromUnixTimestamp64Micro({tail_to_us:Int64}, 'UTC')
        )
        and arrayAll((place, wanted) -> has(wanted, group_values[place]),
            {filter_places:Array(UInt8)}, {filter_values:Array(Array(String))})
    group by at_us, subject_shown, groups_shown
)
group by window_us, subject_shown, groups_shown
order by window_us, subject_shown, groups_shown
limit {limit:UInt32}

-- name: total
-- SUM and AVG; COUNT takes no notice of it.
sum(total)
sum(toDecimal256(value, 18))
sum(part)

-- name: smallest
min(smallest)
min(value)
min(part)

-- name: largest
max(largest)
max(value)
max(part)

-- name: latest
argMaxIfMergeState(latest)
argMaxIfState(value, (time, partition, offset), toUInt8(1))
argMaxIfMerge(part)

-- name: uniques
uniqExactMergeState(uniques)
uniqExactState(value_hash)
uniqExactMerge(part)

-- name: group_values
-- What a group of a meter has been, in order.
select distinct group_values[{place:UInt8}] as group_value
from meter_values_quarter_hourly
where organization_id = {organization_id:UUID} and meter_id = {meter_id:UUID}
    and quarter_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    and quarter_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    and ({is_first_page:Bool} or group_value > {after:String})
order by group_value
limit {limit:UInt32}

-- name: subjects
-- Subjects that a meter has read, in order.
select distinct subject
from meter_values_quarter_hourly
where organization_id = {organization_id:UUID} and subject > {after:String}
order by subject
limit {limit:UInt32}

-- name: find_events
-- Newest first; `toDate(time)` first makes the server read the key backwards, a day at a time, until it has enough.
select topic, partition, offset, event_id, event_type, source, subject, time, arrival_at, body
from usage_events
where organization_id = {organization_id:UUID}
    and toDate(time) between toDate(fromUnixTimestamp64Micro({from_us:Int64}, 'UTC'))
        and toDate(fromUnixTimestamp64Micro({to_us:Int64}, 'UTC'))
    and time >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') and time < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC')
    and ({subject:String} = '' or subject = {subject:String})
    and ({event_id:String} = '' or event_id = {event_id:String})
    and ({is_first_page:Bool} or (time, topic, partition, offset) <
        (fromUnixTimestamp64Micro({before_us:Int64}, 'UTC'), {before_topic:String}, {before_partition:UInt16}, {before_offset:Int64}))
order by toDate(time) desc, time desc, topic desc, partition desc, offset desc
limit {limit:UInt32}
