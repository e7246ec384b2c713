CREATE FUNCTION msar.row_count(table_oid bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE counted bigint;
BEGIN
  EXECUTE 'SELECT count(*) FROM ' || msar.name_of(table_oid) INTO counted;
  RETURN counted;
END
$$;
